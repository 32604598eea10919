// swift-tools-version:6.3
import PackageDescription

let strictC: [CSetting] = [
  .define("_GNU_SOURCE", .when(platforms: [.linux])), .headerSearchPath("platform"), .headerSearchPath("conv"),
]
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
    .target(
      name: "CCodecKernels", cSettings: strictC, linkerSettings: [.linkedLibrary("m", .when(platforms: [.linux]))]),
    .target(name: "CSwiftCodec"),
    .target(name: "CDefaultModel", exclude: ["models"]),
    .target(name: "SwiftCodec", dependencies: ["CCodecKernels", "CSwiftCodec", "CDefaultModel"], swiftSettings: core),
    .target(name: "PictureFiles", dependencies: ["SwiftCodec"]),
    .executableTarget(name: "codec-bench", dependencies: ["SwiftCodec", "PictureFiles"]),
    .testTarget(
      name: "SwiftCodecTests",
      dependencies: ["SwiftCodec", "CCodecKernels", "CSwiftCodec", "PictureFiles", "codec-bench"]),
    .testTarget(name: "PictureFilesTests", dependencies: ["SwiftCodec", "PictureFiles"]),
  ],
  cLanguageStandard: .gnu17
)
