explain -f shop.in.yaml shop/ghost
explain -f shop.in.yaml wbe
explain -f shop.in.yaml cluster:ghost
explain -f shop.in.yaml shop/web/x
explain -f shop.in.yaml ""
