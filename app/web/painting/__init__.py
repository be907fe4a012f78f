"""How each record is painted: one function per piece, one template each in templates/fragments."""
