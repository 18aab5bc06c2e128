//go:build tools

// Package programs names the programs that are built unchanged from their own modules, so that go.mod keeps them.
package programs

import (
	_ "github.com/google/go-containerregistry/cmd/crane"
	_ "helm.sh/helm/v4/cmd/helm"
	_ "k8s.io/kubernetes/test/images/agnhost"
	_ "sigs.k8s.io/kind"
)
