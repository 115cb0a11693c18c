"""Writes rows into the database of the original, by its own models, which know how each column is
kept. Run with the original's modules: original_rows.py --config-file FILE < {table: objects}

What an object shows beyond the columns (links, sums over nodegroups) is left out."""
import datetime
import json
import sys

import magnum.conf
from magnum.db.sqlalchemy import api, models

ORDER = [models.ClusterTemplate, models.Cluster, models.NodeGroup]


def row(model, shown):
    found = {k: v for k, v in shown.items() if k in model.__table__.columns and k != "id"}
    for key in ("created_at", "updated_at"):
        if found.get(key):
            found[key] = datetime.datetime.fromisoformat(found[key]).replace(tzinfo=None)
    return found


def main():
    magnum.conf.CONF(sys.argv[1:], project="magnum")
    given = json.load(sys.stdin)
    session = api.get_session()
    with session.begin():
        for model in ORDER:
            session.bulk_insert_mappings(model, [row(model, x) for x in given[model.__tablename__]])


main()
