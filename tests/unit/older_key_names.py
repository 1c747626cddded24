# SPDX-FileCopyrightText: 2026 The contributors to hosted-engine-ha
# SPDX-License-Identifier: LGPL-2.1-or-later

"""The names that oVirt's own hosted-engine tools have for settings, by their files.

Of ovirt-hosted-engine-ha 2.5 and ovirt-hosted-engine-setup 2.7, as their own sources have them, and
some of earlier versions.
"""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


HOSTED_ENGINE_CONF = _words(
    """
    fqdn vm_disk_id vm_disk_vol_id vmid storage mnt_options nfs_version conf host_id console
    domainType spUUID sdUUID connectionUUID ca_cert ca_subject vdsm_use_ssl gateway bridge
    metadata_volume_UUID metadata_image_UUID lockspace_volume_UUID lockspace_image_UUID
    conf_volume_UUID conf_image_UUID iqn portal user password port iscsi_paths_blacklist
    network_test tcp_t_address tcp_t_port configured
    """
)
AGENT_CONF = _words(
    """
    base-score network-score-penalty gateway-score-penalty not-uptodate-config-penalty
    mgmt-bridge-score-penalty free-memory-score-penalty cpu-load-score-penalty
    engine-retry-score-penalty cpu-load-penalty-min cpu-load-penalty-max
    """
)
BROKER_CONF = _words(
    """
    smtp-server smtp-port smtp-timeout destination-emails source-email state_transition
    """
)
HA_CONF = frozenset(["local_maintenance", "local_maintenance_manual"])
_ANSWERS = {
    "CORE": """
        ansibleUserExtraVars checkRequirements confirmSettings deployProceed
        enableKeycloak etcAnswerFile forceIpProceed localVMDir memCheckRequirements
        miscReached nodeSetup pauseonRestore renewPKIonRestore restoreFromFile
        screenProceed skipTTYCheck tempDir userAnswerFile
    """,
    "ENGINE": """
        adminPassword adminUsername allowGlusterReplicaOne appHostName clusterName
        datacenterName enableHcGlusterService enableLibgfapi engineSetupTimeout
        forceCreateVG insecureSSL interactiveAdminPassword promptNonOperational
        temporaryCertificate
    """,
    "FIRST_HOST": """
        deployWithHE35Hosts skipSharedStorageAF
    """,
    "NETWORK": """
        allowInvalidBondModes bridgeIf bridgeName firewallManager firewalldServices
        firewalldSubst forceIPv4 forceIPv6 fqdn fqdnReverseValidation gateway host_name
        network_test network_test_tcp_address network_test_tcp_port
        promptRequiredNetworks refuseDeployingWithNM sshdPort
    """,
    "NOTIF": """
        destEmail smtpPort smtpServer sourceEmail
    """,
    "SANLOCK": """
        lockspaceName serviceName
    """,
    "STORAGE": """
        GUID LunID blockDeviceSizeGB brokerConfContent confImageSizeGB confImageUUID
        confVolUUID connectionUUID discardSupport domainType fakeMasterSdConnUUID
        fakeMasterSdUUID hostID iSCSIDiscoverPassword iSCSIDiscoverUser iSCSIPortal
        iSCSIPortalIPAddress iSCSIPortalPassword iSCSIPortalPort iSCSIPortalUser
        iSCSITargetName imgDesc imgSizeGB imgUUID lockspaceImageUUID lockspaceVolumeUUID
        metadataImageUUID metadataVolumeUUID mntOptions nfsVersion ovfSizeGB qcowSizeGB
        sdUUID spUUID storageAnswerFileContent storageDatacenterName
        storageDomainConnection storageDomainName storageHEConfContent storageType
        vgUUID vmConfContent volUUID
    """,
    "VDSM": """
        caSubject consoleType cpu engineCpu kvmGid passwd passwdValiditySecs pkiSubject
        serviceName useSSL vdscli vdsmUid
    """,
    "VM": """
        OpenScapProfileName acceptDownloadEApplianceRPM applianceMem applianceVCpus
        applianceVersion applyOpenScapProfile automateVMShutdown cdromUUID cloudInitISO
        cloudinitExecuteEngineSetup cloudinitInstanceDomainName
        cloudinitInstanceHostName cloudinitRootPwd cloudinitVMDNS cloudinitVMETCHOSTS
        cloudinitVMStaticCIDR cloudinitVMTZ consoleUUID emulatedMachine enableFips
        localVmUUID maxVCpus nicUUID ovfArchive rootSshAccess rootSshPubkey subst vmBoot
        vmCDRom vmMACAddr vmMemSizeMB vmUUID vmVCpus
    """,
}
ANSWERS = frozenset(
    f"OVEHOSTED_{section}/{name}" for section, names in _ANSWERS.items() for name in _words(names)
)
