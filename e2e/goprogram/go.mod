module ringfence.dev/e2e/goprogram

go 1.22.0
