// swift-tools-version:6.3
import PackageDescription

let strictC: [CSetting] = [
  .define("_GNU_SOURCE", .when(platforms: [.linux])), .headerSearchPath("platform"), .headerSearchPath("conv"),
  .headerSearchPath("entropy"), .define("NDEBUG", .when(configuration: .release)),
]
let core: [SwiftSetting] = [.enableExperimentalFeature("Embedded", .when(traits: ["Embedded"]))]

let package = Package(
  name: "SwiftCodec",
  platforms: [.macOS(.v13), .iOS(.v16)],
  products: [
    // All of swiftcodec.h. An app that brings models of its own depends on SwiftCodecCore alone.
    .library(name: "SwiftCodec", type: .static, targets: ["SwiftCodec", "SwiftCodecDefaultModel"]),
    .library(name: "SwiftCodecCore", targets: ["SwiftCodec"]),
    .executable(name: "codec-bench", targets: ["codec-bench"]),
  ],
  traits: [
    .trait(name: "Embedded", description: "Build the core as Embedded Swift: a C library without the Swift runtime.")
  ],
  targets: [
    .target(
      name: "CCodecKernels", cSettings: strictC, linkerSettings: [.linkedLibrary("m", .when(platforms: [.linux]))]),
    .target(name: "CSwiftCodec"),
    .target(name: "CDefaultModel", exclude: ["models"]),
    .target(name: "SwiftCodec", dependencies: ["CCodecKernels", "CSwiftCodec"], swiftSettings: core),
    .target(
      name: "SwiftCodecDefaultModel", dependencies: ["SwiftCodec", "CSwiftCodec", "CDefaultModel"],
      swiftSettings: core),
    .target(name: "SwiftCodecFitting", dependencies: ["SwiftCodec"]),
    .target(name: "SwiftCodecBenchmark", dependencies: ["SwiftCodec", "CCodecKernels"]),
    .target(name: "PictureFiles", dependencies: ["SwiftCodec"]),
    .executableTarget(
      name: "codec-bench",
      dependencies: [
        "SwiftCodec", "SwiftCodecDefaultModel", "SwiftCodecFitting", "SwiftCodecBenchmark", "PictureFiles",
      ]),
    .testTarget(
      name: "SwiftCodecTests",
      dependencies: [
        "SwiftCodec", "SwiftCodecDefaultModel", "SwiftCodecFitting", "CCodecKernels", "CSwiftCodec", "PictureFiles",
        "codec-bench",
      ]),
  ],
  cLanguageStandard: .gnu17
)
