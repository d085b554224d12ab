// A real identity provider on 127.0.0.1: node oidc_provider.mjs MODULES. It prints its address as
// JSON, and ends with its standard input.
import { createServer } from "node:http";
import { generateKeyPairSync } from "node:crypto";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const require = createRequire(join(resolve(process.argv[2]), "anything.js"));
const { Provider } = await import(pathToFileURL(require.resolve("oidc-provider")));

const key = (kind, options, more) => ({
  ...generateKeyPairSync(kind, options).privateKey.export({ format: "jwk" }), use: "sig", ...more,
});
const resources = { "urn:evault:rs256": "RS256", "urn:evault:es256": "ES256", "urn:evault:eddsa": "EdDSA",
                    "urn:evault:ps256": "PS256" };

const server = createServer();
server.listen(0, "127.0.0.1", () => {
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const provider = new Provider(issuer, {
    clients: [
      { client_id: "robot", client_secret: "robot-secret", grant_types: ["client_credentials"],
        redirect_uris: [], response_types: [] },
      { client_id: "evault", client_secret: "evault-secret", grant_types: ["authorization_code"],
        redirect_uris: ["http://127.0.0.1:1/back"], response_types: ["code"] },
    ],
    jwks: { keys: [
      key("rsa", { modulusLength: 2048 }, { kid: "rsa" }),
      key("ec", { namedCurve: "P-256" }, { kid: "ec" }),
      key("ed25519", {}, { kid: "ed" }),
    ] },
    enabledJWA: { idTokenSigningAlgValues: ["RS256", "PS256", "ES256", "EdDSA"] },
    features: {
      clientCredentials: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_context, indicator) => ({
          scope: "read", audience: "evault", accessTokenFormat: "jwt", accessTokenTTL: 300,
          jwt: { sign: { alg: resources[indicator] } },
        }),
      },
    },
    claims: { openid: ["sub"], email: ["email", "email_verified"] },
    conformIdTokenClaims: false,
    cookies: { keys: ["not a secret: this provider lives for one test"] },
    // Whoever signs in as `new…` has an address that nobody verified yet.
    findAccount: (_context, id) => ({
      accountId: id,
      claims: () => ({ sub: id, email: `${id}@example.org`, email_verified: !id.startsWith("new") }),
    }),
  });
  server.on("request", provider.callback());
  process.stdout.write(`${JSON.stringify({ issuer })}\n`);
});
process.stdin.resume();
process.stdin.on("end", () => process.exit(0));
