diff shop.in.yaml shop-wider.in.yaml
diff shop-wider.in.yaml shop.in.yaml
diff shop.in.yaml shop-narrower.in.yaml
diff shop.in.yaml shop-rewritten.in.yaml
diff shop.in.yaml shop-narrower.in.yaml --pod-cidr 10.244.0.0/16 -o markdown
diff shop.in.yaml shop-wider.in.yaml --pod-cidr 10.244.0.0/16 -o markdown
diff shop.in.yaml part-of-shop.in.yaml --pod-cidr 10.244.0.0/16
