admit -f shop.in.yaml -f pods.in.yaml -o sarif
