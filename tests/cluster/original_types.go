// The original operator's types for what it emits, as its documentation and the sample in it imply.
//
// Reads one emitted object, decodes it into them, and prints it again: what comes out equals what went
// in only if every value has the type that the original gives it and no key is one that it does not know.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"time"
)

type Collector struct {
	AppAPIInfo AppAPIInfo `json:"app_api_info"`
	AppInfo    AppInfo    `json:"app_info"`
}

type AppAPIInfo struct {
	ClusterUUID string `json:"cluster_uuid"`
	AppUUID     string `json:"app_uuid"`
	AppName     string `json:"app_name"`
	EmailID     string `json:"email_id"`
	HosstedHelm bool   `json:"hossted_helm"`
}

type AppInfo struct {
	HelmInfo    HelmInfo      `json:"helm_info"`
	PodInfo     []PodInfo     `json:"pod_info"`
	ServiceInfo []ServiceInfo `json:"service_info"`
	VolumeInfo  []VolumeInfo  `json:"volume_info"`
	IngressInfo []IngressInfo `json:"ingress_info"`
}

type HelmInfo struct {
	Name       string    `json:"name"`
	Namespace  string    `json:"namespace"`
	Revision   int       `json:"revision"`
	Updated    time.Time `json:"updated"`
	Status     string    `json:"status"`
	Chart      string    `json:"chart"`
	AppVersion string    `json:"appVersion"`
}

type PodInfo struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	Image     string `json:"image"`
	Status    string `json:"status"`
}

type ServiceInfo struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	Port      int32  `json:"port"`
}

type VolumeInfo struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	Size      int    `json:"size"`
}

type IngressInfo struct {
	Name      string `json:"name"`
	Namespace string `json:"namespace"`
	Domain    string `json:"domain"`
}

func main() {
	var read Collector
	decoder := json.NewDecoder(os.Stdin)
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&read); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	encoder := json.NewEncoder(os.Stdout)
	if err := encoder.Encode(read); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
