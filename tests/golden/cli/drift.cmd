drift shop.in.yaml shop-rewritten.in.yaml shop-wider.in.yaml shop-narrower.in.yaml
drift shop.in.yaml shop-narrower.in.yaml -o json
drift shop.in.yaml shop-rewritten.in.yaml -o yaml
drift shop.in.yaml part-of-shop.in.yaml --pod-cidr 10.244.0.0/16
drift shop.in.yaml shop.in.yaml
drift shop.in.yaml
drift shop.in.yaml cluster: --kubeconfig missing
drift shop.in.yaml cluster:dev --kubeconfig missing
drift shop.in.yaml cluster --config missing
