"""Codecs between COPY streams and what else reads them."""
