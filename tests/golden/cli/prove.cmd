prove -f prove.in.yaml
prove -f prove.in.yaml -o json
prove -f shop.in.yaml
