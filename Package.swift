// swift-tools-version:6.3
import PackageDescription

let strictC: [CSetting] = [.define("_GNU_SOURCE", .when(platforms: [.linux]))]
let core: [SwiftSetting] = [.enableExperimentalFeature("Embedded", .when(traits: ["Embedded"]))]

let package = Package(
  name: "SwiftCodec",
  products: [
    .library(name: "SwiftCodec", type: .static, targets: ["SwiftCodec"]),
    .executable(name: "codec-bench", targets: ["codec-bench"]),
  ],
  traits: [
    .trait(name: "Embedded", description: "Build the core as Embedded Swift: a C library without the Swift runtime.")
  ],
  targets: [
    .target(name: "CCodecKernels", exclude: ["models"], cSettings: strictC),
    .target(name: "SwiftCodec", dependencies: ["CCodecKernels"], swiftSettings: core),
    .executableTarget(name: "codec-bench", dependencies: ["SwiftCodec"]),
    .testTarget(name: "SwiftCodecTests", dependencies: ["SwiftCodec", "CCodecKernels", "codec-bench"]),
  ],
  cLanguageStandard: .gnu17
)
