package main

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// standard is a level and a version as Kubernetes' labels write them:
// "restricted" and "v1.31" or "latest".
type standard struct {
	Level   string `json:"level"`
	Version string `json:"version"`
}

func (s standard) parse() (api.LevelVersion, error) {
	level, err := api.ParseLevel(s.Level)
	if err != nil {
		return api.LevelVersion{}, fmt.Errorf("level %q: %w", s.Level, err)
	}
	version, err := api.ParseVersion(s.Version)
	if err != nil {
		return api.LevelVersion{}, fmt.Errorf("version %q: %w", s.Version, err)
	}
	return api.LevelVersion{Level: level, Version: version}, nil
}

// evaluateRequest asks what every pod breaks of every standard.
type evaluateRequest struct {
	Standards []standard   `json:"standards"`
	Pods      []corev1.Pod `json:"pods"`
}

// broken is a check that a pod does not pass.
type broken struct {
	ID     policy.CheckID `json:"id"`
	Reason string         `json:"reason"`
	Detail string         `json:"detail"`
}

// judge is the evaluator over checks that note which of them failed: its own
// results do not say so. Which checks apply where remains its decision.
type judge struct {
	evaluator policy.Evaluator
	found     []broken
}

func newJudge() (*judge, error) {
	j := &judge{}
	checks := policy.DefaultChecks()
	for c := range checks {
		id := checks[c].ID
		for v := range checks[c].Versions {
			check := checks[c].Versions[v].CheckPod
			checks[c].Versions[v].CheckPod = func(meta *metav1.ObjectMeta, spec *corev1.PodSpec) policy.CheckResult {
				result := check(meta, spec)
				if !result.Allowed {
					j.found = append(j.found, broken{id, result.ForbiddenReason, result.ForbiddenDetail})
				}
				return result
			}
		}
	}
	evaluator, err := policy.NewEvaluator(checks, nil)
	j.evaluator = evaluator
	return j, err
}

// evaluate returns, for every standard and then every pod, what it breaks.
func (j *judge) evaluate(req evaluateRequest) ([][][]broken, error) {
	result := make([][][]broken, len(req.Standards))
	for s, each := range req.Standards {
		parsed, err := each.parse()
		if err != nil {
			return nil, fmt.Errorf("standards[%d]: %w", s, err)
		}
		result[s] = make([][]broken, len(req.Pods))
		for p := range req.Pods {
			j.found = []broken{}
			j.evaluator.EvaluatePod(parsed, &req.Pods[p].ObjectMeta, &req.Pods[p].Spec)
			result[s][p] = j.found
		}
	}
	return result, nil
}

// check describes one check and its history: the minor versions from which
// each of its forms holds, and the checks that each form overrides.
type check struct {
	ID        policy.CheckID     `json:"id"`
	Level     api.Level          `json:"level"`
	Since     []int              `json:"since"`
	Overrides [][]policy.CheckID `json:"overrides"`
}

func checks() []check {
	var all []check
	for _, each := range policy.DefaultChecks() {
		described := check{ID: each.ID, Level: each.Level}
		for _, version := range each.Versions {
			described.Since = append(described.Since, version.MinimumVersion.Minor())
			described.Overrides = append(described.Overrides, append([]policy.CheckID{}, version.OverrideCheckIDs...))
		}
		all = append(all, described)
	}
	return all
}
