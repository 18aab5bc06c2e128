package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/test"
)

const (
	policyName = "pod-security"
	patience   = 60 * time.Second
)

// TestPodSecurity runs Kubernetes' own live tests of Pod Security admission
// against an API server (KUBECONFIG) whose Pod Security plugin is off and whose
// webhook is Ringfence's. They create every fixture as a dry run, as a pod and
// as the template of a Deployment, in a namespace for each level and version.
func TestPodSecurity(t *testing.T) {
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		t.Fatalf("KUBECONFIG: %v", err)
	}
	config.QPS = -1 // not a client that has to be kept from overloading a server
	counting := rest.CopyConfig(config)
	var asked atomic.Int64
	counting.Wrap(func(next http.RoundTripper) http.RoundTripper { return counter{next, &asked} })
	as := &installer{config: config}
	test.Run(t, test.Options{ClientConfig: counting, CreateNamespace: as.createNamespace})
	t.Logf("asked about %d objects", asked.Load())
}

// counter counts dry runs.
type counter struct {
	next  http.RoundTripper
	asked *atomic.Int64
}

func (c counter) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.URL.Query().Get("dryRun") != "" {
		c.asked.Add(1)
	}
	return c.next.RoundTrip(request)
}

// installer makes namespaces as Ringfence guards them.
type installer struct {
	config *rest.Config
}

// createNamespace makes a namespace whose SecurityPolicy asks for the level and
// version that the labels name, and waits until the webhook knows it.
func (i *installer) createNamespace(
	_ kubernetes.Interface, name string, labels map[string]string,
) (*corev1.Namespace, error) {
	client, err := kubernetes.NewForConfig(i.config)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	level, version := labels[api.EnforceLevelLabel], labels[api.EnforceVersionLabel]
	wanted := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		Name: name, Labels: map[string]string{"ringfence.dev/enroll": "enforce"},
	}}
	made, err := client.CoreV1().Namespaces().Create(ctx, wanted, metav1.CreateOptions{})
	if err != nil {
		return nil, err
	}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "default"}}
	_, err = client.CoreV1().ServiceAccounts(name).Create(ctx, account, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return nil, err
	}
	if err := i.close(ctx, name); err != nil {
		return nil, err
	}
	number := strings.TrimPrefix(version, "v")
	admission := object{"podSecurity": object{"level": level, "version": number}}
	identity := resource("ringfence.dev/v1alpha1", "ServiceIdentity", name, "default", object{})
	if err := post(ctx, client, identity, "serviceidentities"); err != nil {
		return nil, err
	}
	policy := resource("ringfence.dev/v1alpha1", "SecurityPolicy", name, policyName, object{"admission": admission})
	if err := post(ctx, client, policy, "securitypolicies"); err != nil {
		return nil, err
	}
	return made, known(ctx, client, name, level, version)
}

// close writes the default deny as the controller does: before it is there no
// pod may come.
func (i *installer) close(ctx context.Context, namespace string) error {
	config := rest.CopyConfig(i.config)
	config.Impersonate = rest.ImpersonationConfig{
		UserName: "system:serviceaccount:ringfence-system:ringfence-controller", Groups: []string{"system:masters"},
	}
	controller, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	deny := resource("networking.k8s.io/v1", "NetworkPolicy", namespace, "ringfence-default-deny", object{
		"podSelector": object{}, "policyTypes": []string{"Ingress", "Egress"},
	})
	deny["metadata"].(object)["labels"] = object{
		"app.kubernetes.io/managed-by": "ringfence", "ringfence.dev/purpose": "network",
	}
	return post(ctx, controller, deny, "networkpolicies")
}

// known waits until the webhook lets the good pod in and keeps out one that no
// version of either level allows, because of the namespace's policy.
func known(ctx context.Context, client kubernetes.Interface, namespace, level, version string) error {
	parsed, err := api.ParseVersion(version)
	if err != nil {
		return err
	}
	good, err := test.GetMinimalValidPod(api.Level(level), parsed)
	if err != nil {
		return err
	}
	good.Name = "probe"
	bad := good.DeepCopy()
	bad.Spec.Volumes = []corev1.Volume{{
		Name: "root", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/"}},
	}}
	pods := client.CoreV1().Pods(namespace)
	dry := metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}
	for {
		_, admitted := pods.Create(ctx, good, dry)
		_, refused := pods.Create(ctx, bad, dry)
		if admitted == nil && refused != nil && strings.Contains(refused.Error(), namespace+"/"+policyName) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the webhook does not know the policy of %s: good pod: %v; bad pod: %v", namespace, admitted, refused)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

type object map[string]any

func resource(version, kind, namespace, name string, spec object) object {
	metadata := object{"namespace": namespace, "name": name}
	return object{"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}
}

// post creates an object of any kind.
func post(ctx context.Context, client kubernetes.Interface, obj object, plural string) error {
	body, err := json.Marshal(obj)
	if err != nil {
		return err
	}
	namespace := obj["metadata"].(object)["namespace"].(string)
	path := fmt.Sprintf("/apis/%s/namespaces/%s/%s", obj["apiVersion"], namespace, plural)
	request := client.CoreV1().RESTClient().Post().AbsPath(path).SetHeader("Content-Type", "application/json").Body(body)
	if _, err := request.DoRaw(ctx); err != nil {
		return fmt.Errorf("%s in %s: %w", obj["kind"], namespace, err)
	}
	return nil
}
