"""First questions to an Amancay server: what is there, what it would cost, and one noisy answer.

Start a server with `make demo`, set AMANCAY_URL and AMANCAY_TOKEN to what it prints, and run this file.
"""

import amancay_client as amancay

SPECIES = "SELECT species, COUNT(*) AS n, AVG(body_mass_g) AS mass FROM df GROUP BY species"


def main() -> None:
    """Ask about the penguins."""
    with amancay.connect() as session:
        print(session)
        print(session.datasets())

        # All that is known without paying: the owner's declaration, and made-up rows of the same shape.
        penguins = session.dataset("penguins")
        print(penguins)
        print(penguins.dummy(rows=3).to_polars())

        # The price and the noise depend on the query and the metadata only, so asking for them is free.
        query = penguins.sql(SPECIES, epsilon=0.1, delta=1e-7)
        print(query.estimate())
        print(query.dummy().to_polars())

        # This one is paid for, even if it should fail after it has read the data.
        execution = query.run()
        print(execution)
        print(execution.to_polars())
        print(penguins.budget)


if __name__ == "__main__":
    main()
