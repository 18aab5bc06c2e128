proxy show shop/api -f ../proxy/traffic.in.yaml
explain shop/api -f ../proxy/traffic.in.yaml
explain shop/tighter -f ../proxy/traffic.in.yaml -o yaml
diff ../proxy/traffic.in.yaml traffic-looser.in.yaml
