"""The console: pages for people, beside the API, made of the same use cases.

- `application.py` puts the pages together. Each request passes `sessions.py`, which finds out who asks and for which
  catalogue, and then its route (`routing.py`), which checks what the operator may do.
- One file per subject (`home.py`, `users.py`, ...) holds the routes of its pages, the functions that make their view
  models, and the acts that their forms carry out. Each has templates of its name in `templates/`.
- A view model is a frozen dataclass with everything that its template shows. Templates hold no logic beyond loops and
  conditions, so tests assert on view models.
- `rendering.py` turns a template and a view model into an HTML response; `plots.py` describes plots, which
  `static/console.js` draws.

All pages work without JavaScript. With it, htmx replaces parts of a page, and Vega-Lite draws its plots.
"""
