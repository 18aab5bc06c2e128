proxy show shop/web -f shop.in.yaml
proxy show shop/api -f shop.in.yaml -f proxy-show.in.yaml
proxy show data/db -f shop.in.yaml -f proxy-show.in.yaml
proxy show trial/batch -f shop.in.yaml -f proxy-show.in.yaml
proxy show other/scraper -f shop.in.yaml
proxy show shop/nothing -f shop.in.yaml
proxy show shop -f shop.in.yaml
