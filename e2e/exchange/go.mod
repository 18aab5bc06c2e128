module ringfence.dev/e2e/exchange

go 1.22.0
