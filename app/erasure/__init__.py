"""Erasure of users, from the deletion of their rows to the receipt that nothing is left.

    DELETE /users/{id}      the rows go in one transaction, and every process answers as if there were no user
    a run without the user  queued by the worker, see `app.worker.triggers`; several erasures share one run
    older snapshots         deleted as soon as a snapshot without the user is live, and never activated again
    rejected rows           files of earlier imports are deleted: a row that cannot be read belongs to no known user
    the database            files are written anew, because freed space keeps the bytes of deleted rows
    the receipt             signed; `GET /erasures/{id}`

The state is in the table `erasures` (`app.store.erasures`), so that any worker goes on where another one stopped: every
step may be repeated. What lies outside of the reach of the service is named in the receipt: backups, archives of the
write-ahead log of Postgres, copies of exports and logs of a proxy.

Decisions, and why:

- **The signature is an HMAC** by the key that was made with the database. It shows the operator that a receipt was not
  changed. Refused: Ed25519, which others could verify without the key; it would need the package `cryptography` for
  this alone, and the holder of the key could write any receipt just the same.
- **The worker waits a twenty-fourth of the time** before it queues a run for an erasure (an hour of 24), so that a
  service whose guests are deleted every minute does not train without a pause.
- **A pin gives way**: a pinned snapshot with an erased user is replaced by the next one that is published.
- Refused: a list of erased ids against which late ratings are checked, since it would keep what is to be erased.

May import: training and the layers below. Never settings.
"""
