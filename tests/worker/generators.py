"""An entry that draws from every generator a library might use; all are imported before the fork."""

import json
import os
import random
from multiprocessing.connection import Connection

import numpy as np
import opendp.prelude as dp


def draw(line: "Connection[bytes, bytes]") -> None:
    """Its table holds one draw of each."""
    line.recv_bytes(2**20)
    line.send_bytes(b'J{"event":"prepared","accuracy":[],"mechanisms":[]}')
    line.recv_bytes(1)
    dp.enable_features("contrib")
    laplace = dp.m.make_laplace(dp.atom_domain(T=float, nan=False), dp.absolute_distance(T=float), scale=1.0)
    draws = [
        random.random(),
        np.random.random(),
        np.random.default_rng().random(),
        os.urandom(8).hex(),
        laplace(0.0),
    ]
    line.send_bytes(b'J{"event":"released","columns":[],"row_count":1}')
    line.send_bytes(b"T" + json.dumps(draws).encode())
