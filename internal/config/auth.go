package config

import "strings"

// authAlias is the way to authenticate that other tools call differently: the
// command line of OCI, Terraform and rclone.
func authAlias(name string) string {
	switch name {
	case "ApiKey", "user_principal", "user_principal_auth":
		return "api_key"
	case "security_token", "SecurityToken":
		return "session_token"
	case "instance_principals", "InstancePrincipal", "instance_principal_auth":
		return "instance_principal"
	case "resource_principals", "ResourcePrincipal", "resource_principal_auth":
		return "resource_principal"
	case "oke_workload_identity", "OKEWorkloadIdentity", "workload_identity_auth":
		return "workload_identity"
	}
	return name
}

// authAliases are all that authAlias knows, for the schema.
func authAliases() []string {
	return strings.Fields("ApiKey user_principal user_principal_auth security_token SecurityToken " +
		"instance_principals InstancePrincipal instance_principal_auth resource_principals ResourcePrincipal resource_principal_auth " +
		"oke_workload_identity OKEWorkloadIdentity workload_identity_auth")
}

// FromFile tells whether the credentials stand in the OCI configuration file.
func (o OCI) FromFile() bool { return o.Auth == "api_key" || o.Auth == "session_token" }
