proxy show shop/api -f ../proxy/traffic.in.yaml
explain shop/api -f ../proxy/traffic.in.yaml
explain shop/tighter -f ../proxy/traffic.in.yaml -o yaml
diff ../proxy/traffic.in.yaml traffic-looser.in.yaml
diff traffic-looser.in.yaml ../proxy/traffic.in.yaml -o markdown
diff ../proxy/traffic.in.yaml traffic-looser.in.yaml -o json
diff ../proxy/traffic.in.yaml traffic-looser.in.yaml --audit
drift ../proxy/traffic.in.yaml traffic-looser.in.yaml
drift ../proxy/traffic.in.yaml traffic-looser.in.yaml -o json
