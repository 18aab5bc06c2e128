explain -f shop.in.yaml shop/api --pod-cidr 10.244.0.0/16
explain -f shop.in.yaml -n data db
explain -f shop.in.yaml cluster:floor
explain -f shop.in.yaml -f explain.in.yaml shop/odd --pod-cidr 10.244.0.0/16
explain -f shop.in.yaml -f explain.in.yaml shop/tried --pod-cidr 10.244.0.0/16
explain -f shop.in.yaml -f explain.in.yaml cluster:never
