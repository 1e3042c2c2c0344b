"""A resource server as an ordinary team writes one: it verifies tokens and keeps no accounts."""
