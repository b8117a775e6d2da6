// Command pod-security checks the pods of workloads against the restricted Pod Security Standard, with the library
// by which the API server enforces it.
//
//	pod-security FILE...
//
// Each file holds YAML or JSON documents; those without a pod are passed over. It prints a line for each violation.
// Exit code 1: something is violated; 2: a file can't be read, or no file holds a pod.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/pod-security-admission/admission"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// workload is an empty object of a kind that holds a pod, or nil.
func workload(kind string) runtime.Object {
	switch kind {
	case "Pod":
		return &corev1.Pod{}
	case "Deployment":
		return &appsv1.Deployment{}
	case "ReplicaSet":
		return &appsv1.ReplicaSet{}
	case "StatefulSet":
		return &appsv1.StatefulSet{}
	case "DaemonSet":
		return &appsv1.DaemonSet{}
	case "Job":
		return &batchv1.Job{}
	case "CronJob":
		return &batchv1.CronJob{}
	}
	return nil
}

// check prints what the pods of a file violate, and returns how many pods and violations there are.
func check(evaluator policy.Evaluator, path string) (pods, violations int, err error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, 0, err
	}
	restricted := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	documents := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096)
	for {
		var raw runtime.RawExtension
		if err := documents.Decode(&raw); errors.Is(err, io.EOF) {
			return pods, violations, nil
		} else if err != nil {
			return pods, violations, err
		}
		var meta metav1.PartialObjectMetadata
		if len(raw.Raw) == 0 {
			continue
		}
		if err := yaml.Unmarshal(raw.Raw, &meta); err != nil {
			return pods, violations, err
		}
		object := workload(meta.Kind)
		if object == nil {
			continue
		}
		if err := yaml.UnmarshalStrict(raw.Raw, object); err != nil {
			return pods, violations, fmt.Errorf("%s %s: %w", meta.Kind, meta.Name, err)
		}
		podMeta, podSpec, err := admission.DefaultPodSpecExtractor{}.ExtractPodSpec(object)
		if err != nil {
			return pods, violations, err
		}
		pods++
		for _, result := range evaluator.EvaluatePod(restricted, podMeta, podSpec) {
			if !result.Allowed {
				violations++
				fmt.Printf("%s: %s %s: %s (%s)\n", path, meta.Kind, meta.Name, result.ForbiddenReason, result.ForbiddenDetail)
			}
		}
	}
}

func main() {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(2)
	}
	var pods, violations int
	for _, path := range os.Args[1:] {
		found, violated, err := check(evaluator, path)
		if err != nil {
			fmt.Fprintf(os.Stderr, "error: %s: %v\n", path, err)
			os.Exit(2)
		}
		pods, violations = pods+found, violations+violated
	}
	switch {
	case pods == 0:
		fmt.Fprintln(os.Stderr, "error: no pod in any of the files")
		os.Exit(2)
	case violations > 0:
		os.Exit(1)
	}
	fmt.Printf("%d pods keep to the restricted Pod Security Standard\n", pods)
}
