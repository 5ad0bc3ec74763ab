# All images for both machines, with what is in them (SBOM) and how they were made (provenance):
#
#   REGISTRY=registry.example.com/team/ VERSION=0.2.0 REVISION=$(git rev-parse HEAD) docker buildx bake --push
# With SOURCE_DATE_EPOCH=$(git log -1 --format=%ct) in the environment, buildx dates layers by the commit.
#
#   docker buildx bake --set '*.platform=linux/amd64' --load server     one image, for this machine

variable "REGISTRY" { default = "" }
variable "VERSION" { default = "dev" }
variable "REVISION" { default = "" }
variable "BASE_IMAGE" { default = "debian:bookworm-slim" }

group "default" { targets = ["server", "client"] }

target "common" {
  context    = "."
  dockerfile = "compose/Dockerfile"
  platforms  = ["linux/amd64", "linux/arm64"]
  attest     = ["type=sbom", "type=provenance,mode=max"]
  args = {
    BASE_IMAGE = BASE_IMAGE
    VERSION    = VERSION
    REVISION   = REVISION
  }
}

target "server" {
  inherits = ["common"]
  target   = "server"
  tags     = ["${REGISTRY}devpi-forkbuilder:${VERSION}"]
}

target "client" {
  inherits = ["common"]
  target   = "client"
  tags     = ["${REGISTRY}devpi-forkbuilder-client:${VERSION}"]
}
