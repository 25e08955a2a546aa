"""Handover moves or destroys a company's customer data and leaves proof that anyone can check."""

__version__ = "0.1.0"
