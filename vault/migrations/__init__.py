"""The steps that make the tables of the SQL index, and change them from version to version."""
