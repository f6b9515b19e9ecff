"""Liao, Leibo & Poggio (2016): conditions, Table 1, protocol, published numbers, tables, claims."""
