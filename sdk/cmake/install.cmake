# Component sdk: everything a driver vendor needs, and nothing of the core. cmake --install BUILD
# --component sdk [--prefix P]; the tree may be moved afterwards.
include(CMakePackageConfigHelpers)
get_filename_component(sdk ${CMAKE_CURRENT_LIST_DIR} DIRECTORY)

file(READ ${sdk}/include/magnum/plugin.h plugin_h)
string(REGEX MATCH "MAG_ABI_MAJOR ([0-9]+)u" _ "${plugin_h}")
set(abi_major ${CMAKE_MATCH_1})
string(REGEX MATCH "MAG_ABI_MINOR ([0-9]+)u" _ "${plugin_h}")
set(abi_minor ${CMAKE_MATCH_1})

set(sdk_data ${CMAKE_INSTALL_DATADIR}/magnum-sdk)
set(sdk_doc ${CMAKE_INSTALL_DATADIR}/doc/magnum-sdk)
set(sdk_cmake ${CMAKE_INSTALL_LIBDIR}/cmake/MagnumSDK)

# paths inside the package, made relative by the helper
set(include_dir ${CMAKE_INSTALL_INCLUDEDIR})
set(lib_dir ${CMAKE_INSTALL_LIBDIR})
set(bin_dir ${CMAKE_INSTALL_BINDIR})
set(template_dir ${sdk_data}/template)
configure_package_config_file(${sdk}/cmake/MagnumSDKConfig.cmake.in
  ${CMAKE_BINARY_DIR}/sdk/MagnumSDKConfig.cmake INSTALL_DESTINATION ${sdk_cmake}
  PATH_VARS include_dir lib_dir bin_dir template_dir)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/sdk/MagnumSDKConfigVersion.cmake
  VERSION ${abi_major}.${abi_minor} COMPATIBILITY SameMajorVersion)
file(RELATIVE_PATH prefix_from_pc /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
string(REGEX REPLACE "/$" "" prefix_from_pc ${prefix_from_pc})
configure_file(${sdk}/cmake/magnum-sdk.pc.in ${CMAKE_BINARY_DIR}/sdk/magnum-sdk.pc @ONLY)

install(DIRECTORY ${sdk}/include/magnum DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT sdk)
install(DIRECTORY ${sdk}/lib DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/magnum-sdk COMPONENT sdk
  FILES_MATCHING PATTERN "*.h" PATTERN "*_internal.h" EXCLUDE PATTERN "group.h" EXCLUDE
  PATTERN "node_spec.h" EXCLUDE)
install(TARGETS magnum_sdk magnum_local magnum_userdata
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT sdk)
install(FILES ${CMAKE_BINARY_DIR}/sdk/MagnumSDKConfig.cmake
  ${CMAKE_BINARY_DIR}/sdk/MagnumSDKConfigVersion.cmake ${sdk}/cmake/MagnumPlugin.cmake
  DESTINATION ${sdk_cmake} COMPONENT sdk)
install(FILES ${CMAKE_BINARY_DIR}/sdk/magnum-sdk.pc
  DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT sdk)
# The kit runs plugins in its own copy of the host: it needs no Magnum beside it.
install(TARGETS magnum-driver-host
  RUNTIME DESTINATION ${CMAKE_INSTALL_LIBEXECDIR}/magnum-sdk COMPONENT sdk)
install(DIRECTORY ${sdk}/template DESTINATION ${sdk_data} COMPONENT sdk)
install(DIRECTORY ${sdk}/examples DESTINATION ${sdk_doc} COMPONENT sdk)
install(DIRECTORY ${sdk}/docs/ DESTINATION ${sdk_doc} COMPONENT sdk)
install(FILES ${sdk}/abi/POLICY.md DESTINATION ${sdk_doc} COMPONENT sdk)
install(FILES ${sdk}/abi/layout_v1.c DESTINATION ${sdk_data}/abi COMPONENT sdk)
