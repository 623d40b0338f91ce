//go:build definitions

// Package picker keeps Gateway API in go.mod: of it only the definitions of its resources are taken.
package picker

import _ "sigs.k8s.io/gateway-api/pkg/consts"
