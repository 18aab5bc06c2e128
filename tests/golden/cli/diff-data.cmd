diff shop.in.yaml shop-wider.in.yaml -o json
diff shop.in.yaml shop-rewritten.in.yaml -o yaml
