// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"net/http"
	"sync/atomic"

	"github.com/spf13/cobra"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
)

// newExtenderCommand is an extender that decides nothing: it takes the next of
// the nodes that it is sent and binds. What a scheduler is measured against.
func newExtenderCommand() *cobra.Command {
	var kubeconfig, listen string
	command := &cobra.Command{Use: "extender", RunE: func(*cobra.Command, []string) error {
		config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
		if err != nil {
			return err
		}
		config.QPS = -1 // no limit
		config.ContentType = "application/vnd.kubernetes.protobuf"
		client, err := kubernetes.NewForConfig(config)
		if err != nil {
			return err
		}
		http.HandleFunc("/filter", filter)
		http.HandleFunc("/bind", func(w http.ResponseWriter, r *http.Request) { bind(client, w, r) })
		http.HandleFunc("/readyz", func(http.ResponseWriter, *http.Request) {})
		return http.ListenAndServe(listen, nil)
	}}
	command.Flags().StringVar(&kubeconfig, "kubeconfig", "", "API server and credentials")
	command.Flags().StringVar(&listen, "listen", "127.0.0.1:8080", "address")
	return command
}

var turn atomic.Uint64

func filter(w http.ResponseWriter, r *http.Request) {
	var question struct{ NodeNames []string }
	answer := map[string]any{}
	if err := json.NewDecoder(r.Body).Decode(&question); err != nil || len(question.NodeNames) == 0 {
		answer["Error"] = "no node names"
	} else {
		next := turn.Add(1) % uint64(len(question.NodeNames))
		answer["NodeNames"] = question.NodeNames[next : next+1]
	}
	json.NewEncoder(w).Encode(answer)
}

func bind(client *kubernetes.Clientset, w http.ResponseWriter, r *http.Request) {
	var question struct{ PodName, PodNamespace, PodUID, Node string }
	answer := map[string]string{"Error": ""}
	err := json.NewDecoder(r.Body).Decode(&question)
	if err == nil {
		binding := &v1.Binding{
			ObjectMeta: metav1.ObjectMeta{Name: question.PodName, Namespace: question.PodNamespace, UID: types.UID(question.PodUID),
				Annotations: map[string]string{"example.com/node": question.Node}},
			Target: v1.ObjectReference{Kind: "Node", Name: question.Node}}
		err = client.CoreV1().Pods(question.PodNamespace).Bind(context.Background(), binding, metav1.CreateOptions{})
	}
	if err != nil {
		answer["Error"] = err.Error()
	}
	json.NewEncoder(w).Encode(answer)
}
