"""Who may do what: API keys, their scopes, user tokens and rate limits.

This package decides; it reads no database and knows nothing of HTTP. `app.store` keeps the keys (`KeyTable`), `app.api`
takes them from requests. It may import `entities` and `errors`.

A key is 256 random bits, so a plain SHA-256 of it is stored: a slow hash protects passwords, which can be guessed. A
key is looked up by that digest. Every key that is not valid is then absent, and no comparison takes longer for one that
is nearly right.

Refused: JSON Web Tokens as keys (they cannot be revoked before they expire); a read of the database for each request (a
fifth of the time of a list); scopes that contain one another, other than `admin`, which can create any key anyway.
"""
