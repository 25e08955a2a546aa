"""Residue: cleans, as far as a connection allows, where bytes of erased rows stay, and reports each place.

No setting of the server is ever changed: what a session sets ends with the session, also when it is killed.
"""
