"""The terminal browser: a model that knows no terminal, and the views that show it.

`app`, `widgets` and the modules whose names end in `_screen` need textual and are imported by
nothing but the command; all others are the model.
"""
