"""A server to try: a throw-away issuer, demo data, and a tour. Never for real data."""
