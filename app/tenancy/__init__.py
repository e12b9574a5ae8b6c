"""Tenants: several isolated catalogues in one deployment.

A tenant has a database of its own (a file `tenants/NAME/reckon.db`, or the schema `tenant_NAME` of Postgres) and a data
folder of its own. `Settings.of_tenant` names both; every object that is built from these settings works on the tenant
and on nothing else. The API key of a request selects the tenant, and nothing in a request can. This package creates and
deletes tenants, and opens their services while they are used. It may import wiring and the layers below.

Refused: a column `tenant` in the tables (one forgotten condition shows the data of another); a process for each tenant
(an idle one would take 100 MB).
"""
