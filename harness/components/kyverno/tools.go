//go:build tools

package tools

import (
	_ "github.com/kyverno/kyverno/cmd/background-controller"
	_ "github.com/kyverno/kyverno/cmd/cleanup-controller"
	_ "github.com/kyverno/kyverno/cmd/cli/kubectl-kyverno"
	_ "github.com/kyverno/kyverno/cmd/kyverno"
	_ "github.com/kyverno/kyverno/cmd/kyverno-init"
	_ "github.com/kyverno/kyverno/cmd/readiness-checker"
	_ "github.com/kyverno/kyverno/cmd/reports-controller"
)
