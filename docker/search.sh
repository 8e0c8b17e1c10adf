#!/bin/sh
# A search on the cluster at MMSA_RAY_ADDRESS; arguments go to launch/search.py. Ray wants a node beside every
# driver, so this container joins first, with nothing to run trials on.
set -eu
ray start --address "$MMSA_RAY_ADDRESS" --num-cpus 0 --num-gpus 0 > /dev/null
exec python launch/search.py --ray-address "$MMSA_RAY_ADDRESS" --storage "$MMSA_STORAGE" "$@"
