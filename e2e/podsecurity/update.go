package main

import (
	"context"
	"errors"

	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/pod-security-admission/admission"
	admissionapi "k8s.io/pod-security-admission/admission/api"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/metrics"
)

// updateRequest asks what Pod Security admission as a whole says of a pod (old
// is null) or of a change to one, in a namespace that enforces the standard.
type updateRequest struct {
	Standard standard    `json:"standard"`
	Old      *corev1.Pod `json:"old"`
	New      *corev1.Pod `json:"new"`
}

type decision struct {
	Allowed bool   `json:"allowed"`
	Message string `json:"message"`
}

const namespace = "judged"

func (j *judge) update(req updateRequest) (decision, error) {
	if req.New == nil {
		return decision{}, errors.New("new: needed, the pod as it will be")
	}
	standard := req.Standard
	if _, err := standard.parse(); err != nil {
		return decision{}, err
	}
	labels := map[string]string{api.EnforceLevelLabel: standard.Level, api.EnforceVersionLabel: standard.Version}
	unset := admissionapi.PodSecurityDefaults{
		Enforce: "privileged", EnforceVersion: "latest", Audit: "privileged", AuditVersion: "latest",
		Warn: "privileged", WarnVersion: "latest",
	}
	whole := &admission.Admission{
		Configuration:    &admissionapi.PodSecurityConfiguration{Defaults: unset},
		Evaluator:        j.evaluator,
		Metrics:          silent{},
		PodSpecExtractor: admission.DefaultPodSpecExtractor{},
		NamespaceGetter:  only(labels),
		PodLister:        nobody{},
	}
	if err := whole.CompleteConfiguration(); err != nil {
		return decision{}, err
	}
	attributes := &api.AttributesRecord{
		Namespace: namespace,
		Name:      "pod",
		Kind:      schema.GroupVersionKind{Version: "v1", Kind: "Pod"},
		Resource:  schema.GroupVersionResource{Version: "v1", Resource: "pods"},
		Operation: admissionv1.Create,
		Object:    req.New,
	}
	if req.Old != nil {
		attributes.Operation, attributes.OldObject = admissionv1.Update, req.Old
	}
	response := whole.Validate(context.Background(), attributes)
	said := decision{Allowed: response.Allowed}
	if response.Result != nil {
		said.Message = response.Result.Message
	}
	return said, nil
}

// only is a cluster of one namespace with these labels.
type only map[string]string

func (o only) GetNamespace(context.Context, string) (*corev1.Namespace, error) {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace, Labels: o}}, nil
}

// nobody is a namespace without pods.
type nobody struct{}

func (nobody) ListPods(context.Context, string) ([]*corev1.Pod, error) { return nil, nil }

// silent records nothing.
type silent struct{}

func (silent) RecordEvaluation(metrics.Decision, api.LevelVersion, metrics.Mode, api.Attributes) {}
func (silent) RecordExemption(api.Attributes)                                                    {}
func (silent) RecordError(bool, api.Attributes)                                                  {}
