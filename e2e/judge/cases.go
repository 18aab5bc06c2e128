package main

import (
	"errors"

	"github.com/mattfenwick/cyclonus/pkg/generator"
	networkingv1 "k8s.io/api/networking/v1"
)

// casesRequest asks for every generated case. PodIP is the address that the
// ipBlock cases are built around (pod z/c by cyclonus' convention).
type casesRequest struct {
	PodIP      string   `json:"podIP"`
	AllowDNS   bool     `json:"allowDNS"`
	CaseSpaces []string `json:"caseNamespaces"`
}

type testCase struct {
	Description string   `json:"description"`
	Tags        []string `json:"tags"`
	Steps       []step   `json:"steps"`
}

type step struct {
	Probe   probe    `json:"probe"`
	Actions []action `json:"actions"`
}

// probe says what is tried after a step: every served port, or one of them
// (a number or a name) by one protocol.
type probe struct {
	AllAvailable bool   `json:"allAvailable"`
	Port         any    `json:"port,omitempty"`
	Protocol     string `json:"protocol,omitempty"`
}

// action is one change to the cluster. Verb says which fields are set.
type action struct {
	Verb       string                      `json:"verb"`
	Namespace  string                      `json:"namespace,omitempty"`
	Name       string                      `json:"name,omitempty"`
	Labels     map[string]string           `json:"labels,omitempty"`
	Policy     *networkingv1.NetworkPolicy `json:"policy,omitempty"`
	Namespaces []string                    `json:"namespaces,omitempty"`
}

func cases(req casesRequest) ([]testCase, error) {
	if req.PodIP == "" {
		return nil, errors.New("podIP: needed, the address of the pod that ipBlock cases aim at")
	}
	spaces := req.CaseSpaces
	if len(spaces) == 0 {
		spaces = []string{"x", "y", "z"}
	}
	generated := generator.NewTestCaseGenerator(req.AllowDNS, req.PodIP, spaces, nil, nil).GenerateTestCases()
	result := make([]testCase, 0, len(generated))
	for _, source := range generated {
		converted := testCase{Description: source.Description, Tags: source.Tags.Keys()}
		for _, from := range source.Steps {
			to := step{Probe: convertProbe(from.Probe), Actions: []action{}}
			for _, change := range from.Actions {
				converted, err := convertAction(change)
				if err != nil {
					return nil, err
				}
				to.Actions = append(to.Actions, converted)
			}
			converted.Steps = append(converted.Steps, to)
		}
		result = append(result, converted)
	}
	return result, nil
}

func convertProbe(config *generator.ProbeConfig) probe {
	if config.PortProtocol == nil {
		return probe{AllAvailable: true}
	}
	return probe{Port: config.PortProtocol.Port, Protocol: string(config.PortProtocol.Protocol)}
}

func convertAction(a *generator.Action) (action, error) {
	switch {
	case a.CreatePolicy != nil:
		return policyAction("createPolicy", a.CreatePolicy.Policy), nil
	case a.UpdatePolicy != nil:
		return policyAction("updatePolicy", a.UpdatePolicy.Policy), nil
	case a.DeletePolicy != nil:
		return action{Verb: "deletePolicy", Namespace: a.DeletePolicy.Namespace, Name: a.DeletePolicy.Name}, nil
	case a.CreateNamespace != nil:
		return action{Verb: "createNamespace", Name: a.CreateNamespace.Namespace, Labels: a.CreateNamespace.Labels}, nil
	case a.SetNamespaceLabels != nil:
		return action{Verb: "setNamespaceLabels", Name: a.SetNamespaceLabels.Namespace, Labels: a.SetNamespaceLabels.Labels}, nil
	case a.DeleteNamespace != nil:
		return action{Verb: "deleteNamespace", Name: a.DeleteNamespace.Namespace}, nil
	case a.ReadNetworkPolicies != nil:
		return action{Verb: "readPolicies", Namespaces: a.ReadNetworkPolicies.Namespaces}, nil
	case a.CreatePod != nil:
		return action{Verb: "createPod", Namespace: a.CreatePod.Namespace, Name: a.CreatePod.Pod, Labels: a.CreatePod.Labels}, nil
	case a.SetPodLabels != nil:
		return action{Verb: "setPodLabels", Namespace: a.SetPodLabels.Namespace, Name: a.SetPodLabels.Pod, Labels: a.SetPodLabels.Labels}, nil
	case a.DeletePod != nil:
		return action{Verb: "deletePod", Namespace: a.DeletePod.Namespace, Name: a.DeletePod.Pod}, nil
	}
	return action{}, errors.New("a generated case holds an action of a kind that this program does not know")
}

func policyAction(verb string, policy *networkingv1.NetworkPolicy) action {
	full := policy.DeepCopy()
	full.APIVersion, full.Kind = "networking.k8s.io/v1", "NetworkPolicy"
	return action{Verb: verb, Namespace: full.Namespace, Name: full.Name, Policy: full}
}
