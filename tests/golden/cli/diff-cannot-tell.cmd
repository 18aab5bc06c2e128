diff shop.in.yaml shop.in.yaml
diff shop.in.yaml nowhere.yaml
diff shop.in.yaml pods.in.yaml/nothing
diff shop.in.yaml cluster
diff cluster shop.in.yaml --config nowhere.yaml
