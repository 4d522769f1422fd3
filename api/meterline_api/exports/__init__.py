"""Exports: whole tables over HTTP in constant memory, read a page after another in the order of their keys.

1. ``tables`` says what there is, ``statement`` turns a selection and the key of the last row into SQL, which writes
   the text of the rows as well; ``reader`` runs it.
2. A first pass reads count, length and hashes of the selection: the ``ETag``, and what every later pass must come to.
3. A second one sends the rows. A file is completed only if what was sent is what the first pass saw.
"""
