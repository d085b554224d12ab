"""Make a bucket with Object Lock on an S3 server of one's own, if it is not there yet.

    python make_bucket.py http://s3:8333 evidence

Object Lock is for a bucket's whole life: it cannot be added to one that is there without.
"""

from __future__ import annotations

import sys

import boto3
from botocore.exceptions import ClientError


def main(endpoint_url: str, bucket: str) -> int:
    """Make it; 2 where the bucket is there without Object Lock, or another's."""
    client = boto3.session.Session().client(
        "s3", endpoint_url=endpoint_url, region_name="us-east-1"
    )
    try:
        client.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
        print(f"made bucket {bucket}, with Object Lock")
        return 0
    except client.exceptions.BucketAlreadyOwnedByYou:
        pass
    try:
        known = client.get_object_lock_configuration(Bucket=bucket)["ObjectLockConfiguration"]
    except ClientError as error:
        known = {}
        print(error, file=sys.stderr)
    if known.get("ObjectLockEnabled") != "Enabled":
        print(f"bucket {bucket} is there without Object Lock; name another", file=sys.stderr)
        return 2
    print(f"bucket {bucket} is there, with Object Lock")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
