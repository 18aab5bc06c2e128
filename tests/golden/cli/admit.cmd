admit -f shop.in.yaml
admit -f shop.in.yaml -f pods.in.yaml
