compile -f part.in.yaml --kind NetworkPolicy -v
compile -f part.in.yaml --kind NetworkPolicy -n shop
