compile -f shop.in.yaml --kind NetworkPolicy
