explain -f shop.in.yaml shop/web -o yaml
explain -f shop.in.yaml -f explain.in.yaml cluster:never -o json
