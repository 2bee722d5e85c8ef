"""`make schemas`: write the published schemas anew."""

from nettune import schemas

for name, text in schemas.made().items():
    schemas.path(name).write_text(text, encoding="utf-8")
