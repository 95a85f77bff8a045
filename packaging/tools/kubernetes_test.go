package tools

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"github.com/matryer/is"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// documents returns the documents of ../kubernetes.yaml by their kind.
func documents(t *testing.T) map[string][]byte {
	t.Helper()
	is := is.New(t)
	text, err := os.ReadFile("../kubernetes.yaml")
	is.NoErr(err)
	byKind := map[string][]byte{}
	for doc := range bytes.SplitSeq(text, []byte("\n---\n")) {
		var meta struct{ Kind string }
		is.NoErr(yaml.Unmarshal(doc, &meta))
		byKind[meta.Kind] = doc
	}
	return byKind
}

func TestKubernetesManifestHasOnlyKnownFields(t *testing.T) {
	is := is.New(t)
	docs := documents(t)
	is.Equal(len(docs), 3)
	is.NoErr(yaml.UnmarshalStrict(docs["Secret"], new(corev1.Secret)))
	is.NoErr(yaml.UnmarshalStrict(docs["PersistentVolumeClaim"], new(corev1.PersistentVolumeClaim)))
	is.NoErr(yaml.UnmarshalStrict(docs["Deployment"], new(appsv1.Deployment)))
	wrong := bytes.Replace(docs["Deployment"], []byte("fsGroup:"), []byte("fsGruop:"), 1)
	is.True(yaml.UnmarshalStrict(wrong, new(appsv1.Deployment)) != nil) // a misspelt field is found
}

func TestKubernetesManifestKeepsMail(t *testing.T) {
	is := is.New(t)
	var d appsv1.Deployment
	is.NoErr(yaml.UnmarshalStrict(documents(t)["Deployment"], &d))
	pod := d.Spec.Template.Spec
	is.Equal(*d.Spec.Replicas, int32(1))                                  // only one daemon can run a spool
	is.Equal(d.Spec.Strategy.Type, appsv1.RecreateDeploymentStrategyType) // the old Pod ends before the new one starts
	is.True(*pod.TerminationGracePeriodSeconds > 30)                      // mail in flight is finished
	is.Equal(*pod.SecurityContext.FSGroup, int64(10001))                  // the volume belongs to the daemon
	for key, value := range d.Spec.Selector.MatchLabels {
		is.Equal(d.Spec.Template.Labels[key], value) // the Deployment selects its Pod
	}
	volumes := map[string]bool{}
	for _, v := range pod.Volumes {
		volumes[v.Name] = true
	}
	c := pod.Containers[0]
	for _, m := range c.VolumeMounts {
		is.True(volumes[m.Name]) // each mount has a volume
	}
	is.True(*c.SecurityContext.ReadOnlyRootFilesystem)
	for _, probe := range []*corev1.Probe{c.StartupProbe, c.LivenessProbe, c.ReadinessProbe} {
		is.Equal(probe.HTTPGet.Port.StrVal, c.Ports[0].Name)
	}
}

func TestKubernetesManifestNamesKnownSettings(t *testing.T) {
	is := is.New(t)
	var d appsv1.Deployment
	is.NoErr(yaml.UnmarshalStrict(documents(t)["Deployment"], &d))
	conf, err := os.ReadFile("../spoolgore.conf")
	is.NoErr(err)
	for _, v := range d.Spec.Template.Spec.Containers[0].Env {
		key := strings.ToLower(strings.TrimPrefix(v.Name, "SPOOLGORE_"))
		is.True(bytes.Contains(conf, []byte("\n#"+key+" "))) // spoolgore.conf has the key
	}
}
